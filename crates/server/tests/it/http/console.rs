//! The console's files, or the sentence that says how to get them.

use reqwest::{Method, StatusCode};

use super::{Site, read};

#[tokio::test(flavor = "multi_thread")]
async fn every_page_of_the_console_is_its_one_page() {
    let site = Site::start().await;
    let get = async |path: &str| site.request(Method::GET, path).send().await.expect("an answer");
    let root = get("/").await;
    assert_eq!(root.status(), StatusCode::OK);
    let (_, root) = read(root).await;
    let (status, page) = read(get("/targets/12?minute=3").await).await;
    assert_eq!((status, &page), (StatusCode::OK, &root));
    // A program that asks for what is not there must not take the page for an answer.
    for path in ["/api", "/api/v1/nothing", "/openapi", "/openapi/v2.json"] {
        let answer = get(path).await;
        let kind = answer.headers()["content-type"].to_str().expect("text").to_owned();
        let expected = (StatusCode::NOT_FOUND, "application/problem+json");
        assert_eq!((answer.status(), kind.as_str()), expected, "{path}");
    }
    let document = get("/openapi/v1.json").await;
    assert_eq!(document.headers()["content-type"], "application/json");
    let (status, document) = read(document).await;
    assert_eq!((status, &document["info"]["title"]), (StatusCode::OK, &"Faultline".into()));
    // A file of an older console must not be answered with a page: a browser would run it.
    assert_eq!(get("/assets/index-00000000.js").await.status(), StatusCode::NOT_FOUND);
}
