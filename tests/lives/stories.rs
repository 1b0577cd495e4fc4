//! Every story is told of every Rancher.

/// Makes each story, an `async fn` of what Rancher it is to be, a test of every release and model.
macro_rules! stories {
    ($($story:ident),* $(,)?) => {
        $(mod $story {
            use testkit::rancher::{Model, Version};

            use crate::embedded::world::Given;

            #[tokio::test(start_paused = true)]
            async fn v2_11() {
                super::$story(Given { version: Version::V2_11, model: Model::Legacy, keyless: false }).await;
            }

            #[tokio::test(start_paused = true)]
            async fn v2_12() {
                super::$story(Given { version: Version::V2_12, model: Model::Legacy, keyless: false }).await;
            }

            #[tokio::test(start_paused = true)]
            async fn v2_13() {
                super::$story(Given { version: Version::V2_13, model: Model::Legacy, keyless: false }).await;
            }

            #[tokio::test(start_paused = true)]
            async fn v2_14() {
                super::$story(Given { version: Version::V2_14, model: Model::Legacy, keyless: false }).await;
            }

            #[tokio::test(start_paused = true)]
            async fn v2_14_aggregated() {
                super::$story(Given { version: Version::V2_14, model: Model::Aggregated, keyless: false }).await;
            }

            #[tokio::test(start_paused = true)]
            async fn v2_15() {
                super::$story(Given { version: Version::V2_15, model: Model::Legacy, keyless: false }).await;
            }

            #[tokio::test(start_paused = true)]
            async fn v2_15_aggregated() {
                super::$story(Given { version: Version::V2_15, model: Model::Aggregated, keyless: false }).await;
            }
        })*
    };
}

/// Tells stories once more of an operator that lives in Rancher's own cluster, and reaches it without a key.
macro_rules! keyless_stories {
    ($($story:ident),* $(,)?) => {
        mod without_a_key {
            use testkit::rancher::{Model, Version};

            use crate::embedded::world::Given;

            $(mod $story {
                use super::*;

                #[tokio::test(start_paused = true)]
                async fn v2_13() {
                    super::super::$story(Given { version: Version::V2_13, model: Model::Legacy, keyless: true }).await;
                }

                #[tokio::test(start_paused = true)]
                async fn v2_15() {
                    super::super::$story(Given { version: Version::V2_15, model: Model::Legacy, keyless: true }).await;
                }

                #[tokio::test(start_paused = true)]
                async fn v2_15_aggregated() {
                    super::super::$story(Given { version: Version::V2_15, model: Model::Aggregated, keyless: true }).await;
                }
            })*
        }
    };
}
