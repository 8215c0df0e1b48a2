//! Makes Rust of `proto/starling/admin`, and keeps its description: the document of the REST interface is made from that.

use std::error::Error;
use std::path::Path;

use prost::Message;
use prost_types::FileDescriptorSet;

/// Requests and answers are JSON too, in the words of `starling ctl`.
const JSON: &str = "#[derive(serde::Serialize, serde::Deserialize)] \
    #[serde(rename_all = \"kebab-case\", default, deny_unknown_fields)]";
const OPTIONAL: &str = "#[serde(skip_serializing_if = \"Option::is_none\")]";

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let described = protox::compile(["starling/admin/v1/admin.proto"], [&root])?;
    let out = std::env::var("OUT_DIR")?;
    std::fs::write(Path::new(&out).join("admin.bin"), described.encode_to_vec())?;
    let mut builder = tonic_prost_build::configure().message_attribute(".", JSON);
    for field in optional(&described) {
        builder = builder.field_attribute(field, OPTIONAL);
    }
    builder.compile_fds(described)?;
    Ok(())
}

/// The paths of fields that need not be there.
fn optional(described: &FileDescriptorSet) -> Vec<String> {
    let messages = described.file.iter().flat_map(|file| &file.message_type);
    let fields = messages.flat_map(|message| message.field.iter().map(move |field| (message, field)));
    fields
        .filter(|(_, field)| field.proto3_optional())
        .map(|(message, field)| format!("starling.admin.v1.{}.{}", message.name(), field.name()))
        .collect()
}
