//! The document of the REST interface (OpenAPI 3.1), made from the list of commands and the proto file.

use serde_json::{Map, Value, json};

use crate::commands::{COMMANDS, Command, MOST_LISTED};
use crate::describe::{Described, Field, Kind};
use crate::route;

/// What else an answer may be.
const ERRORS: &[(&str, &str)] = &[
    ("400", "What was asked makes no sense: a field is wrong, unknown or missing"),
    ("401", "Without a token, or with one that is not known"),
    ("403", "The role of the token is not enough, or a page of another site asks"),
    ("404", "There is no such thing"),
    ("405", "The path has another method; `allow` names it"),
    ("409", "It cannot be done as things stand"),
    ("429", "Too many wrong tokens"),
    ("503", "A part of the server did not answer, or not in time"),
];

/// And where the request has a body.
const ERRORS_OF_BODIES: &[(&str, &str)] = &[
    ("408", "The body did not come in time"),
    ("413", "The body is too long, or broke off"),
    ("415", "The body is not `application/json`"),
];
/// What HTTP itself refuses, without a body.
const ERRORS_OF_HEADS: &[(&str, &str)] =
    &[("414", "The path is too long"), ("431", "The headers are too long")];

/// The whole.
pub fn document() -> Value {
    let described = Described::read();
    let mut paths = Map::new();
    for command in COMMANDS {
        let path = paths.entry(command.path).or_insert_with(|| json!({}));
        if let Some(methods) = path.as_object_mut() {
            methods.insert(command.verb.as_str().to_lowercase(), operation(command, &described));
        }
    }
    let is_answer = |name: &str| !name.ends_with("Request");
    let schemas: Map<String, Value> = described
        .messages
        .iter()
        .filter(|(name, _)| is_answer(name))
        .map(|(name, shape)| (name.clone(), object(&shape.about, shape.fields.iter(), false)))
        .chain([("Error".to_owned(), json!({"type": "object", "properties": {"error": {"type": "string"}}}))])
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Starling",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Administration of a running server. The same commands are there by gRPC and as `starling ctl`.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas,
        },
    })
}

fn operation(command: &Command, described: &Described) -> Value {
    let fields = described.fields(&command.request());
    let (in_path, others): (Vec<&Field>, Vec<&Field>) =
        fields.iter().partition(|field| is_in_path(command, &field.name));
    let (in_body, in_query) = if command.verb.has_body() { (others, vec![]) } else { (vec![], others) };
    let parameters: Vec<Value> = in_path
        .iter()
        .map(|field| (field, "path"))
        .chain(in_query.iter().map(|field| (field, "query")))
        .map(|(field, place)| {
            json!({
                "name": field.name, "in": place, "description": field.about,
                "required": !field.is_optional, "schema": schema(field, true),
            })
        })
        .collect();
    let mut responses: Map<String, Value> =
        ERRORS.iter().map(|(code, about)| ((*code).to_owned(), response(about, "Error"))).collect();
    if command.verb.has_body() {
        responses.extend(
            ERRORS_OF_BODIES.iter().map(|(code, about)| ((*code).to_owned(), response(about, "Error"))),
        );
    }
    responses.extend(
        ERRORS_OF_HEADS.iter().map(|(code, about)| ((*code).to_owned(), json!({"description": about}))),
    );
    responses.insert("200".to_owned(), response("Done", &described.answer(command)));
    let mut operation = json!({
        "operationId": command.name,
        "summary": described.about(command),
        "description": format!("Needs the role `{}`.", command.role.as_str()),
        "parameters": parameters,
        "responses": responses,
    });
    if let (false, Some(object)) = (in_body.is_empty(), operation.as_object_mut()) {
        let schema = self::object("", in_body.into_iter(), true);
        object.insert("requestBody".to_owned(), json!({"content": {"application/json": {"schema": schema}}}));
    }
    operation
}

fn response(about: &str, schema: &str) -> Value {
    let schema = json!({"$ref": format!("#/components/schemas/{schema}")});
    json!({"description": about, "content": {"application/json": {"schema": schema}}})
}

/// Whether a field stands in the path of the command.
pub(crate) fn is_in_path(command: &Command, name: &str) -> bool {
    command.path.split('/').filter_map(route::field).any(|one| one == name)
}

fn object<'a>(about: &str, fields: impl Iterator<Item = &'a Field> + Clone, is_request: bool) -> Value {
    // What a request leaves out has the value that proto3 gives it: only text is of no use so.
    let required: Vec<&str> = fields
        .clone()
        .filter(|field| !field.is_optional && (!is_request || field.kind == Kind::Text))
        .map(|field| field.name.as_str())
        .collect();
    let properties: Map<String, Value> =
        fields.map(|field| (field.name.clone(), schema(field, is_request))).collect();
    let mut whole = json!({"type": "object", "properties": properties, "required": required});
    if let (false, Some(object)) = (about.is_empty(), whole.as_object_mut()) {
        object.insert("description".to_owned(), about.into());
    }
    whole
}

fn schema(field: &Field, is_request: bool) -> Value {
    let mut one = match &field.kind {
        Kind::Text if is_request && field.name == "password" => {
            json!({"type": "string", "format": "password"})
        }
        Kind::Text => json!({"type": "string"}),
        Kind::Integer => json!({"type": "integer"}),
        Kind::Number => json!({"type": "number"}),
        Kind::Boolean => json!({"type": "boolean"}),
        Kind::Message(name) => json!({"$ref": format!("#/components/schemas/{name}")}),
    };
    let bounds = match field.name.as_str() {
        "limit" if is_request => Some((1, MOST_LISTED)),
        "rate" if is_request => Some((0, 1)),
        _ => None,
    };
    if let (Some((minimum, maximum)), Some(object)) = (bounds, one.as_object_mut()) {
        object.extend([("minimum".to_owned(), minimum.into()), ("maximum".to_owned(), maximum.into())]);
    }
    if field.is_list {
        one = json!({"type": "array", "items": one});
    }
    if let (false, Some(object)) = (field.about.is_empty(), one.as_object_mut()) {
        object.insert("description".to_owned(), field.about.as_str().into());
    }
    one
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_command_is_described_with_its_role_and_its_fields() {
        let document = document();
        for command in COMMANDS {
            let operation = &document["paths"][command.path][command.verb.as_str().to_lowercase()];
            assert_eq!(operation["operationId"], command.name);
            assert!(operation["summary"].as_str().unwrap().len() > 10, "{} says nothing", command.name);
            assert!(operation["description"].as_str().unwrap().contains(command.role.as_str()));
            let answers = &operation["responses"];
            for code in ["405", "414", "431"] {
                assert!(answers[code].is_object(), "{} does not say {code}", command.name);
            }
            for code in ["408", "413", "415"] {
                assert_eq!(answers[code].is_object(), command.verb.has_body(), "{}: {code}", command.name);
            }
            let reference =
                operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].as_str();
            let name = reference.unwrap().rsplit('/').next().unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{name} is not there");
            for name in command.path.split('/').filter_map(route::field) {
                let parameters = operation["parameters"].as_array().unwrap();
                assert!(
                    parameters.iter().any(|one| one["name"] == name && one["in"] == "path"),
                    "{command:?}"
                );
            }
        }
        let add =
            &document["paths"]["/v1/users"]["post"]["requestBody"]["content"]["application/json"]["schema"];
        assert_eq!(add["required"], json!(["jid", "password"]));
    }

    #[test]
    fn the_bounds_of_numbers_are_said() {
        let document = document();
        let parameters = document["paths"]["/v1/users"]["get"]["parameters"].as_array().unwrap();
        let limit = parameters.iter().find(|one| one["name"] == "limit").unwrap();
        assert_eq!((&limit["schema"]["minimum"], &limit["schema"]["maximum"]), (&json!(1), &json!(10_000)));
        let change = COMMANDS.iter().find(|command| command.name == "trace-change").unwrap();
        let body = &document["paths"][change.path][change.verb.as_str().to_lowercase()]["requestBody"];
        let rate = &body["content"]["application/json"]["schema"]["properties"]["rate"];
        assert_eq!((&rate["minimum"], &rate["maximum"]), (&json!(0), &json!(1)));
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let text = document.to_string();
        let known: BTreeSet<&str> =
            document["components"]["schemas"].as_object().unwrap().keys().map(String::as_str).collect();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(known.contains(name), "{name}");
        }
    }

    #[test]
    fn the_names_of_fields_are_those_of_the_json() {
        let described = Described::read();
        let answer = crate::pb::CountsAnswer { unacknowledged: 1, ..Default::default() };
        let json = serde_json::to_value(answer).unwrap();
        let names: BTreeSet<&str> =
            described.fields("CountsAnswer").iter().map(|one| one.name.as_str()).collect();
        for key in json.as_object().unwrap().keys() {
            assert!(names.contains(key.as_str()), "{key}");
        }
    }
}
