//! Holds answers against the OpenAPI document: whatever any test of this folder is answered has to be
//! an answer that the document has, with a body of the shape that it says and no field more.

use std::sync::LazyLock;

use reqwest::Method;
use serde_json::{Map, Value};

use crate::support::Answer;

/// Refusals of any call, which the document tells of once for all.
const ALWAYS: [u16; 3] = [405, 414, 431];
/// Fields that belong to calls.
const FIELDS: [&str; 6] =
    ["link", "set-cookie", "retry-after", "ratelimit", "ratelimit-policy", "www-authenticate"];

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(&user::openapi().unwrap()).unwrap());

/// A call of the document.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) about: &'static Value,
}

pub(crate) fn document() -> &'static Value {
    &DOCUMENT
}

/// Every call that is described.
pub(crate) fn calls() -> impl Iterator<Item = Call> {
    let paths = DOCUMENT["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(|(method, about)| {
            let method = method.to_uppercase().parse().unwrap();
            Call { method, path, about }
        })
    })
}

/// The call that `method` on `path` is; `None` where nothing is described.
pub(crate) fn find(method: &Method, path: &str) -> Option<Call> {
    let mut found: Vec<_> = calls().filter(|call| is_at(call.path, path)).collect();
    // A path without parameters comes before one with them.
    found.sort_by_key(|call| call.path.contains('{'));
    let first = found.first()?.path;
    found.into_iter().find(|call| call.path == first && call.method == *method)
}

fn is_at(template: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    let fits = wanted
        .by_ref()
        .zip(given.by_ref())
        .all(|(wanted, given)| wanted == given || (wanted.starts_with('{') && !given.is_empty()));
    fits && template.split('/').count() == path.split('/').count()
}

/// What of an answer the document does not have.
pub(crate) fn faults(method: &Method, path: &str, answer: &Answer) -> Vec<String> {
    let status = answer.status.as_u16();
    let Some(call) = find(method, path).filter(|_| !ALWAYS.contains(&status)) else {
        return Vec::new();
    };
    let Some(response) = call.about["responses"].get(status.to_string()) else {
        return vec![format!("no answer with {status} is described")];
    };
    let mut faults = heads(response, answer);
    let kind = answer.headers.get("content-type").map_or("", |kind| kind.to_str().unwrap());
    let kind = kind.split(';').next().unwrap();
    match response["content"].get(kind) {
        Some(content) if kind.ends_with("json") => {
            faults.extend(shape(&content["schema"], &answer.body));
        }
        Some(_) => {}
        None => faults.push(format!("{kind} is not described")),
    }
    if let Some(slugs) = response["x-problems"].as_array() {
        let named = answer.body["type"].as_str().unwrap_or_default();
        let is_known =
            |slug: &Value| named == format!("urn:hubbub:problem:{}", slug.as_str().unwrap());
        if !slugs.iter().any(is_known) {
            faults.push(format!("the problem {named} is not described"));
        }
    }
    faults
}

fn heads(response: &Value, answer: &Answer) -> Vec<String> {
    let none = Map::new();
    let described = response["headers"].as_object().unwrap_or(&none);
    let sent = FIELDS.into_iter().filter(|field| answer.headers.contains_key(*field));
    let unknown =
        sent.filter(|field| !described.keys().any(|name| name.eq_ignore_ascii_case(field)));
    unknown.map(|field| format!("the field {field} is not described")).collect()
}

fn shape(schema: &Value, body: &Value) -> Vec<String> {
    let mut whole = schema.clone();
    whole["components"] = DOCUMENT["components"].clone();
    let validator = jsonschema::options().should_validate_formats(true).build(&whole).unwrap();
    let broken = validator.iter_errors(body);
    let mut faults: Vec<_> =
        broken.map(|error| format!("{}: {error}", error.instance_path())).collect();
    unknown(schema, body, "", &mut faults);
    faults
}

/// Finds fields that no schema names.
fn unknown(schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            let each = resolve(schema)["items"].clone();
            for item in items {
                unknown(&each, item, &format!("{at}/-"), faults);
            }
        }
        Value::Object(fields) => {
            let named = properties(schema);
            // An object of which nothing is said may have anything.
            for (name, value) in fields.iter().filter(|_| !named.is_empty()) {
                match named.get(name) {
                    Some(schema) => unknown(schema, value, &format!("{at}/{name}"), faults),
                    None => faults.push(format!("{at}/{name} is not described")),
                }
            }
        }
        _ => {}
    }
}

fn resolve(schema: &Value) -> &Value {
    match schema["$ref"].as_str() {
        Some(to) => DOCUMENT.pointer(to.strip_prefix('#').unwrap()).unwrap(),
        None => schema,
    }
}

fn properties(schema: &Value) -> Map<String, Value> {
    let schema = resolve(schema);
    let mut named = schema["properties"].as_object().cloned().unwrap_or_default();
    for word in ["allOf", "oneOf"] {
        let parts = schema[word].as_array().map_or(&[][..], Vec::as_slice);
        named.extend(parts.iter().flat_map(properties));
    }
    named
}
