// SPDX-License-Identifier: GPL-3.0-or-later
//! The JSON Schemas of all that `connect-cli --json` prints, and of the messages of `control.sock`
//! and `observe.sock`, as the files of `docs/reference/schema`.

use std::collections::BTreeMap;

use connect_cli::schema::PRINTED;
use connect_ipc::control::{Answer, Envelope};
use connect_ipc::hello::Hello;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

/// Where the files stand, relative to the repository.
pub const FOLDER: &str = "docs/reference/schema";

/// Every schema by its name: the name of its file, without `.json`.
#[must_use]
pub fn all() -> BTreeMap<&'static str, Value> {
    let mut schemas = BTreeMap::from([
        (
            "socket-hello",
            message::<Hello>(
                "The first line of either side of control.sock and observe.sock",
                sent(),
            ),
        ),
        (
            "socket-request",
            message::<Envelope>("What a client may send after its hello", read()),
        ),
        (
            "socket-answer",
            message::<Answer>("What the service sends after its hello", sent()),
        ),
    ]);
    for printed in PRINTED {
        let mut generator = sent().into_generator();
        let forms = (printed.make)(&mut generator);
        schemas.insert(printed.name, whole(printed.title, forms, generator));
    }
    schemas
}

/// The text of a schema's file.
///
/// # Errors
/// None that a schema can have.
pub fn text(schema: &Value) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(schema)? + "\n")
}

/// What we write has every field, but for those that are left out where there is nothing to tell.
fn sent() -> SchemaSettings {
    SchemaSettings::draft2020_12().for_serialize()
}

/// What we read may lack those fields that have a default.
fn read() -> SchemaSettings {
    SchemaSettings::draft2020_12().for_deserialize()
}

fn message<T: JsonSchema>(title: &str, settings: SchemaSettings) -> Value {
    let mut generator = settings.into_generator();
    let form = generator.subschema_for::<T>();
    whole(title, vec![form], generator)
}

/// A schema of one or several forms, with the definitions that they refer to.
fn whole(title: &str, mut forms: Vec<Schema>, mut generator: SchemaGenerator) -> Value {
    let mut schema = Map::new();
    schema.insert(
        "$schema".to_owned(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    schema.insert("title".to_owned(), json!(title));
    match (forms.pop(), forms.is_empty()) {
        (Some(form), true) => schema.extend(form.as_object().cloned().unwrap_or_default()),
        (last, _) => {
            let forms: Vec<Schema> = forms.into_iter().chain(last).collect();
            schema.insert("anyOf".to_owned(), json!(forms));
        }
    }
    schema.insert("$defs".to_owned(), json!(generator.take_definitions(true)));
    Value::Object(schema)
}
