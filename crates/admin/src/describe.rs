//! What the proto file says of requests and answers, comments included.

use std::collections::BTreeMap;

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};

use crate::commands::Command;
use crate::pb;

/// What a field is in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Integer,
    Number,
    Boolean,
    Message(String),
}

/// A field of a request or of an answer.
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) kind: Kind,
    pub(crate) is_list: bool,
    pub(crate) is_optional: bool,
}

/// A request, an answer, or a part of one.
pub(crate) struct Shape {
    pub(crate) about: String,
    pub(crate) fields: Vec<Field>,
}

struct Method {
    about: String,
    answer: String,
}

/// The messages of the proto file, with its comments.
pub(crate) struct Described {
    pub(crate) messages: BTreeMap<String, Shape>,
    methods: BTreeMap<String, Method>,
}

impl Described {
    /// From what `build.rs` has kept.
    pub(crate) fn read() -> Described {
        let set = FileDescriptorSet::decode(pb::DESCRIBED).unwrap_or_default();
        let mut described = Described { messages: BTreeMap::new(), methods: BTreeMap::new() };
        for file in &set.file {
            let comments = comments(file);
            let about = |path: &[i32]| comments.get(path).cloned().unwrap_or_default();
            // 4: messages of a file, 2: fields of a message, 6: services, 2: their methods (descriptor.proto).
            for (at, message) in (0..).zip(&file.message_type) {
                let fields = (0..).zip(&message.field).map(|(n, field)| Field {
                    name: field.name().replace('_', "-"),
                    about: about(&[4, at, 2, n]),
                    kind: kind(field),
                    is_list: field.label() == Label::Repeated,
                    is_optional: field.proto3_optional(),
                });
                let one = Shape { about: about(&[4, at]), fields: fields.collect() };
                described.messages.insert(message.name().to_owned(), one);
            }
            for (at, service) in (0..).zip(&file.service) {
                for (n, method) in (0..).zip(&service.method) {
                    let one = Method { about: about(&[6, at, 2, n]), answer: last(method.output_type()) };
                    described.methods.insert(method.name().to_owned(), one);
                }
            }
        }
        described
    }

    /// What a field of a message is.
    pub(crate) fn kind(&self, message: &str, name: &str) -> Option<Kind> {
        let field = self.messages.get(message)?.fields.iter().find(|field| field.name == name)?;
        Some(field.kind.clone())
    }

    /// The fields of a message.
    pub(crate) fn fields(&self, message: &str) -> &[Field] {
        self.messages.get(message).map(|one| one.fields.as_slice()).unwrap_or_default()
    }

    /// What the command is for.
    pub(crate) fn about(&self, command: &Command) -> &str {
        self.methods.get(command.method).map(|method| method.about.as_str()).unwrap_or_default()
    }

    /// The name of its answer.
    pub(crate) fn answer(&self, command: &Command) -> String {
        self.methods.get(command.method).map(|method| method.answer.clone()).unwrap_or_default()
    }
}

fn kind(field: &FieldDescriptorProto) -> Kind {
    match field.r#type() {
        Type::Uint32 | Type::Uint64 | Type::Int32 | Type::Int64 => Kind::Integer,
        Type::Double | Type::Float => Kind::Number,
        Type::Bool => Kind::Boolean,
        Type::Message => Kind::Message(last(field.type_name())),
        _ => Kind::Text,
    }
}

/// What stands above each place, in one line.
fn comments(file: &FileDescriptorProto) -> BTreeMap<Vec<i32>, String> {
    let places = file.source_code_info.iter().flat_map(|info| &info.location);
    places
        .filter_map(|place| {
            let comment = place.leading_comments.as_ref()?;
            let lines: Vec<&str> = comment.lines().map(str::trim).collect();
            Some((place.path.clone(), lines.join(" ").trim().to_owned()))
        })
        .collect()
}

/// `Status` of `.starling.admin.v1.Status`.
fn last(path: &str) -> String {
    path.rsplit('.').next().unwrap_or_default().to_owned()
}
