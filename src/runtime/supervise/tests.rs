use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::time::sleep;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A task that works until asked to stop, and `after` longer.
async fn obedient(token: CancellationToken, after: Duration) -> Result<(), String> {
    token.cancelled().await;
    sleep(after).await;
    Ok(())
}

fn supervisor() -> (Supervisor, mpsc::Sender<&'static str>, mpsc::Receiver<&'static str>) {
    let (sender, receiver) = mpsc::channel(4);
    let mut supervisor = Supervisor::new(10 * SECOND);
    supervisor.spawn("obedient", |token| obedient(token, SECOND));
    (supervisor, sender, receiver)
}

#[tokio::test(start_paused = true)]
async fn a_signal_lets_work_in_flight_finish() {
    let (supervisor, sender, signals) = supervisor();
    let running = tokio::spawn(supervisor.run(signals));
    sleep(60 * SECOND).await;
    assert!(!running.is_finished());
    let asked = Instant::now();
    sender.send("SIGTERM").await.unwrap();
    assert_eq!(running.await.unwrap(), Ok(()));
    assert_eq!(asked.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_unexpected_end_stops_all_with_an_error() {
    let ended = SuperviseError::Ended("short".to_owned());
    let failed = SuperviseError::Failed { task: "short".to_owned(), error: "no luck".to_owned() };
    for (result, expected) in [(Ok(()), ended), (Err("no luck"), failed)] {
        for last in [false, true] {
            let (mut supervisor, _sender, signals) = supervisor();
            let stopped = Arc::new(AtomicBool::new(false));
            supervisor.spawn("other", |token| {
                let stopped = Arc::clone(&stopped);
                async move {
                    token.cancelled().await;
                    stopped.store(true, Ordering::SeqCst);
                    Ok::<_, String>(())
                }
            });
            let short = async move |_token| {
                sleep(SECOND).await;
                result
            };
            if last {
                supervisor.spawn_last("short", short);
            } else {
                supervisor.spawn("short", short);
            }
            assert_eq!(supervisor.run(signals).await, Err(expected.clone()));
            assert!(stopped.load(Ordering::SeqCst), "the others were asked to stop");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_an_end_too() {
    let (mut supervisor, _sender, signals) = supervisor();
    supervisor.spawn("fragile", |_| async {
        if true {
            panic!("broken");
        }
        Ok::<_, String>(())
    });
    assert_eq!(supervisor.run(signals).await, Err(SuperviseError::Panicked("fragile".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_stop_is_abandoned_and_named() {
    let (mut supervisor, sender, signals) = supervisor();
    supervisor.spawn("stubborn", |_| std::future::pending::<Result<(), String>>());
    sender.send("SIGTERM").await.unwrap();
    let started = Instant::now();
    let abandoned = SuperviseError::Abandoned { budget: 10 * SECOND, tasks: "stubborn".to_owned() };
    assert_eq!(supervisor.run(signals).await, Err(abandoned));
    assert_eq!(started.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_waits_for_nobody() {
    let (mut supervisor, sender, signals) = supervisor();
    supervisor.spawn("stubborn", |_| std::future::pending::<Result<(), String>>());
    let running = tokio::spawn(supervisor.run(signals));
    sender.send("SIGINT").await.unwrap();
    sleep(2 * SECOND).await;
    let again = Instant::now();
    sender.send("SIGINT").await.unwrap();
    assert_eq!(running.await.unwrap(), Err(SuperviseError::Impatient));
    assert!(again.elapsed() < SECOND);
}

#[tokio::test(start_paused = true)]
async fn the_last_stage_stops_after_the_first_has_ended() {
    let (mut supervisor, sender, signals) = supervisor();
    let first_ended = Arc::new(AtomicBool::new(false));
    supervisor.spawn("slow", |token| {
        let ended = Arc::clone(&first_ended);
        async move {
            let result = obedient(token, 5 * SECOND).await;
            ended.store(true, Ordering::SeqCst);
            result
        }
    });
    let seen = Arc::new(AtomicBool::new(false));
    supervisor.spawn_last("lease", |token| {
        let (ended, seen) = (Arc::clone(&first_ended), Arc::clone(&seen));
        async move {
            token.cancelled().await;
            seen.store(ended.load(Ordering::SeqCst), Ordering::SeqCst);
            Ok::<_, String>(())
        }
    });
    sender.send("SIGTERM").await.unwrap();
    assert_eq!(supervisor.run(signals).await, Ok(()));
    assert!(seen.load(Ordering::SeqCst), "nothing creates any more when the lease is given back");
}

#[tokio::test(start_paused = true)]
async fn a_failure_while_stopping_is_not_hidden() {
    let (mut supervisor, sender, signals) = supervisor();
    supervisor.spawn("sore", |token| async move {
        token.cancelled().await;
        Err("could not save")
    });
    sender.send("SIGTERM").await.unwrap();
    let error = supervisor.run(signals).await.unwrap_err();
    assert_eq!(error.to_string(), "the task sore failed: could not save");
}
