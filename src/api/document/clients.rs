//! Schemas in the words that every generator of clients understands alike, and every validator: the
//! clients in `openapi/` are made of them, and nothing is mended there.

use serde_json::{Map, Value, json};

/// Puts the schemas of a document so.
pub fn mend(document: &mut Value) {
    let schemas = document.pointer_mut("/components/schemas");
    if let Some(schemas) = schemas.and_then(Value::as_object_mut) {
        name_events(schemas);
        for (name, schema) in schemas {
            if schema["title"] == name.as_str() {
                remove(schema, "title");
            }
            let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
            for property in properties.into_iter().flat_map(Map::values_mut) {
                refer_plainly(property);
            }
        }
    }
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    let items = paths.into_iter().flat_map(Map::values_mut);
    for operation in items
        .filter_map(Value::as_object_mut)
        .flat_map(Map::values_mut)
    {
        let responses = operation
            .get_mut("responses")
            .and_then(Value::as_object_mut);
        for response in responses.into_iter().flat_map(Map::values_mut) {
            if let Some(stream) = response.pointer_mut("/content/text~1event-stream") {
                tell_event_by_event(stream);
            }
        }
    }
    simplify(document);
}

/// A stream is read event by event: what is said of it is said of the data of one, not of a list.
fn tell_event_by_event(stream: &mut Value) {
    if let Some(event) = stream.pointer_mut("/schema/items") {
        stream["schema"] = event.take();
    }
    let Value::Array(events) = stream["example"].take() else {
        return;
    };
    remove(stream, "example");
    let named = events.into_iter().map(|event| {
        let name = event["type"].as_str().unwrap_or("event").to_owned();
        (name, json!({ "value": event }))
    });
    stream["examples"] = Value::Object(named.collect());
}

/// The framework makes two schemas of an event, `RunEvent_Queued` with the type in front of `Queued`, and says
/// that one of them or several fit. A client wants one, `Queued`, which tells its type itself.
fn name_events(schemas: &mut Map<String, Value>) {
    let unions: Vec<String> = schemas
        .iter()
        .filter(|(_, schema)| schema.get("discriminator").is_some())
        .map(|(name, _)| name.clone())
        .collect();
    for union in unions {
        let mut mapping = schemas[&union]["discriminator"]["mapping"].take();
        for target in mapping
            .as_object_mut()
            .into_iter()
            .flat_map(Map::values_mut)
        {
            if let Some(plain) = join_type(schemas, target.as_str().unwrap_or_default()) {
                *target = plain.into();
            }
        }
        let union = &mut schemas[&union];
        let events = mapping.as_object().into_iter().flat_map(Map::values);
        union["oneOf"] = events.map(|target| json!({ "$ref": target })).collect();
        union["discriminator"]["mapping"] = mapping;
        remove(union, "anyOf");
    }
}

/// Gives the schema of an event the property `type` that its wrapper has, and drops the wrapper. Returns the
/// reference to the event.
fn join_type(schemas: &mut Map<String, Value>, wrapper: &str) -> Option<String> {
    let (_, name) = wrapper.rsplit_once('/')?;
    let wrapper = schemas.get(name)?;
    let reference = wrapper.pointer("/allOf/1/$ref")?.as_str()?.to_owned();
    let mut kind = wrapper.pointer("/allOf/0/properties/type")?.clone();
    let (_, event) = reference.rsplit_once('/')?;
    let event = schemas.get_mut(event)?.as_object_mut()?;
    remove(&mut kind, "example");
    kind["description"] = "What happened.".into();
    let mut properties = Map::from_iter([("type".to_owned(), kind)]);
    let mut required = vec![json!("type")];
    if let Some(Value::Object(own)) = event.remove("properties") {
        properties.extend(own);
    }
    if let Some(Value::Array(own)) = event.remove("required") {
        required.extend(own);
    }
    event.insert("required".into(), required.into());
    event.insert("properties".into(), properties.into());
    schemas.shift_remove(name);
    Some(reference)
}

/// A default that is an object is what the fields of its type say anyway, and generators stumble over it.
fn refer_plainly(property: &mut Value) {
    if property.pointer("/allOf/0/$ref").is_some() && property["default"].is_object() {
        remove(property, "default");
    }
}

/// Titles of what has no name of its own are its description, and dates have the format that is known as such.
fn simplify(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.contains_key("type") && fields.get("title").is_some_and(Value::is_string) {
                let title = fields.shift_remove("title").unwrap_or_default();
                fields.entry("description").or_insert(title);
            }
            if let Some(format) = fields.get_mut("format")
                && *format == "naive-date"
            {
                *format = "date".into();
            }
            let within = fields.iter_mut();
            for (_, field) in within
                .filter(|(name, _)| !matches!(name.as_str(), "example" | "examples" | "default"))
            {
                simplify(field);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(simplify),
        _ => {}
    }
}

fn remove(schema: &mut Value, word: &str) {
    if let Some(schema) = schema.as_object_mut() {
        schema.shift_remove(word);
    }
}
