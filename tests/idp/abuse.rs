//! Guessing: it is slow, tells nothing, and keeps nobody out.

use std::time::Instant;

use crate::stage::{Answer, Browser, PASSWORD, Stage};

async fn try_it(browser: &mut Browser<'_>, email: &str, password: &str) -> Answer {
    let page = browser.open("/api/oauth/login").await;
    browser.sign_in(&page, email, password).await
}

/// The page without what differs in every answer.
fn told(answer: &Answer) -> String {
    let text = answer.body.replace(&answer.field("csrf"), "");
    ["nobody@example.com", "rahim@example.com", "rubbish"]
        .iter()
        .fold(text, |text, email| text.replace(email, ""))
}

#[tokio::test]
async fn nothing_tells_whether_an_account_exists() {
    let stage = Stage::new().await;
    let mut answers = Vec::new();
    for email in ["rahim@example.com", "nobody@example.com"] {
        let mut browser = Browser::new(&stage);
        let started = Instant::now();
        let answer = try_it(&mut browser, email, "wrong password").await;
        let took = started.elapsed();
        assert_eq!(answer.status, 422);
        assert!(took.as_millis() >= 1000, "{email}: {took:?}");
        answers.push(told(&answer));
    }
    assert_eq!(answers[0], answers[1]);
    for (email, password) in [("rahim@example.com", ""), ("", PASSWORD), ("", "")] {
        let answer = try_it(&mut Browser::new(&stage), email, password).await;
        assert_eq!(answer.status, 422);
        assert!(answer.body.contains("Enter your email address and your password."), "{email:?}");
    }
    let long = "p".repeat(200);
    for (email, password) in [
        ("rahim@example.com", format!("{PASSWORD} ")),
        ("rahim@example.com", long),
        ("not an address", PASSWORD.into()),
    ] {
        let answer = try_it(&mut Browser::new(&stage), email, &password).await;
        assert!(answer.body.contains("Wrong email address or password"), "{email:?}");
        assert!(!answer.body.contains(&password), "a password is never given back");
    }
}

#[tokio::test]
async fn guessing_ends_and_the_owner_still_gets_in() {
    let stage = Stage::new().await;
    let email = "rahim@example.com";
    // Signed in before, from the address that the guesser will share.
    let mut owner = Browser::new(&stage);
    owner.address = "198.51.100.7";
    assert_eq!(try_it(&mut owner, email, PASSWORD).await.status, 200);
    owner.cookies.remove("storegate_session");

    let mut tried = Vec::new();
    let mut guesser = Browser::new(&stage);
    guesser.address = "198.51.100.7";
    let page = guesser.open("/api/oauth/login").await;
    let csrf = page.field("csrf");
    let guesses = (0..14).map(|guess| {
        let (cookie, csrf) = (guesser.cookies["storegate_session"].clone(), csrf.clone());
        let stage = &stage;
        async move {
            let cookie = format!("storegate_session={cookie}");
            let headers = [("caller", "198.51.100.7"), ("cookie", cookie.as_str())];
            let password = format!("guess {guess}");
            let body = [("csrf", csrf.as_str()), ("email", email), ("password", &password)];
            stage.post("/api/oauth/login", &headers, &body).await
        }
    });
    for answer in join(guesses).await {
        tried.push(answer.status);
    }
    tried.sort_unstable();
    assert_eq!(tried, [vec![422; 10], vec![429; 4]].concat(), "ten guesses, and no more");
    let refused = try_it(&mut guesser, email, PASSWORD).await;
    assert_eq!(refused.status, 429, "even the right one");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    assert!(refused.body.contains("Too many wrong attempts"), "{refused:?}");

    assert_eq!(try_it(&mut owner, email, PASSWORD).await.status, 200, "the owner's browser is known");
    let mut elsewhere = Browser::new(&stage);
    elsewhere.address = "203.0.113.9";
    assert_eq!(try_it(&mut elsewhere, email, PASSWORD).await.status, 200, "an address that has not failed");
    let mut neighbour = Browser::new(&stage);
    neighbour.address = "198.51.100.7";
    assert_eq!(try_it(&mut neighbour, "karim@example.com", PASSWORD).await.status, 200, "another account");
}

async fn join<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pinned: Vec<_> = futures.map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = pinned.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (slot, future) in done.iter_mut().zip(&mut pinned) {
            if slot.is_none()
                && let std::task::Poll::Ready(output) = future.as_mut().poll(context)
            {
                *slot = Some(output);
            }
        }
        match done.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    done.into_iter().flatten().collect()
}
