//! The document of the API against the program and against the committed file.

use std::collections::BTreeSet;

use expect_test::expect_file;
use serde_json::Value;
use server::http::{
    openapi_json,
    routes::{Access, catalogue},
};

/// `UPDATE_EXPECT=1` writes the file anew.
#[test]
fn the_committed_document_is_the_one_of_this_program() {
    expect_file!["../../../../../openapi/v1.json"].assert_eq(&openapi_json());
}

#[test]
fn the_document_lists_exactly_the_routes() {
    let document: Value = serde_json::from_str(&openapi_json()).expect("JSON");
    let mut told = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("an item").keys() {
            told.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let routes = catalogue().into_iter().map(|(method, path, _)| format!("{method} {path}"));
    assert_eq!(told, routes.collect());
}

#[test]
fn the_document_says_who_may_and_refers_to_nothing_that_is_missing() {
    let text = openapi_json();
    let document: Value = serde_json::from_str(&text).expect("JSON");
    let mut operation_ids = BTreeSet::new();
    for (method, path, access) in catalogue() {
        let operation = &document["paths"][&path][method.as_str().to_lowercase()];
        let id = operation["operationId"].as_str().expect("an id").to_owned();
        assert!(operation_ids.insert(id), "{method} {path}: the operation's id comes twice");
        let security = operation["security"].as_array().expect("security");
        assert_eq!(security.is_empty(), access == Access::Public, "{method} {path}");
        let problem = &operation["responses"]["default"]["content"]["application/problem+json"];
        assert_eq!(problem["schema"]["$ref"], "#/components/schemas/Problem", "{method} {path}");
    }
    let sends_nothing = |(method, path): &(&str, &str)| {
        document["paths"][path][method].is_object()
            && document["paths"][path][method]["requestBody"].is_null()
    };
    let paths = document["paths"].as_object().expect("paths").keys();
    let all = paths.flat_map(|path| ["post", "put", "patch"].map(|method| (method, path.as_str())));
    let told: Vec<(&str, &str)> = all.filter(sends_nothing).collect();
    let expected = [
        ("post", "/api/v1/agents/{id}/revoke"),
        ("post", "/api/v1/agents/{id}/token"),
        ("post", "/api/v1/backup"),
        ("post", "/api/v1/deliveries/{id}/resend"),
        ("post", "/api/v1/maintenance/{id}/cancel"),
        ("post", "/api/v1/maintenance/{id}/end"),
        ("post", "/api/v1/users/{id}/password"),
        ("post", "/api/v1/webhooks/{id}/secret"),
        ("post", "/api/v1/webhooks/{id}/test"),
    ];
    assert_eq!(told, expected);
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    for part in text.split("#/components/schemas/").skip(1) {
        let name = part.split('"').next().expect("a name");
        assert!(schemas.contains_key(name), "the schema {name} is missing");
    }
    for schema in schemas.keys() {
        let reference = format!("#/components/schemas/{schema}\"");
        assert!(text.contains(&reference), "nothing refers to the schema {schema}");
    }
}
