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
    // A file of an older console must not be answered with a page: a browser would run it.
    assert_eq!(get("/assets/index-00000000.js").await.status(), StatusCode::NOT_FOUND);
}
