//! The world that most tests share.

use std::ops::Deref;

use tokio::sync::OnceCell;

use crate::{
    operator::{self, Operator},
    world::World,
};

struct Shared {
    world: World,
    operator: Operator,
}

/// The shared world, which prints the operator's log where the test that holds this fails.
pub(crate) struct Held(&'static Shared);

/// The world with one operator that leads.
pub(crate) async fn world() -> Held {
    static SHARED: OnceCell<Shared> = OnceCell::const_new();
    Held(
        SHARED
            .get_or_init(async || {
                let world = World::start().await;
                let operator = world.operator("shared", &[]);
                world.ready().await;
                Shared { world, operator }
            })
            .await,
    )
}

impl Deref for Held {
    type Target = World;

    fn deref(&self) -> &World {
        &self.0.world
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if std::thread::panicking() {
            operator::print("the shared operator", &self.0.operator.log());
        }
    }
}
