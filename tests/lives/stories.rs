//! Every story is told of every Rancher.

/// Makes each story, an `async fn` of what Rancher it is to be, a test of every release and model.
macro_rules! stories {
    ($($story:ident),* $(,)?) => {
        $(mod $story {
            use testkit::rancher::{Model, Version};

            use crate::embedded::world::Given;

            #[tokio::test(start_paused = true)]
            async fn v2_11() {
                super::$story(Given { version: Version::V2_11, model: Model::Legacy }).await;
            }

            #[tokio::test(start_paused = true)]
            async fn v2_12() {
                super::$story(Given { version: Version::V2_12, model: Model::Legacy }).await;
            }

            #[tokio::test(start_paused = true)]
            async fn v2_13() {
                super::$story(Given { version: Version::V2_13, model: Model::Legacy }).await;
            }

            #[tokio::test(start_paused = true)]
            async fn v2_14() {
                super::$story(Given { version: Version::V2_14, model: Model::Legacy }).await;
            }

            #[tokio::test(start_paused = true)]
            async fn v2_14_aggregated() {
                super::$story(Given { version: Version::V2_14, model: Model::Aggregated }).await;
            }

            #[tokio::test(start_paused = true)]
            async fn v2_15() {
                super::$story(Given { version: Version::V2_15, model: Model::Legacy }).await;
            }

            #[tokio::test(start_paused = true)]
            async fn v2_15_aggregated() {
                super::$story(Given { version: Version::V2_15, model: Model::Aggregated }).await;
            }
        })*
    };
}
