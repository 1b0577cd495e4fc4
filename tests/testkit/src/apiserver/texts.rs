//! Objects as text, kept: what is read again and again is written out once.
use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use serde_json::Value;

/// How many are kept: more would only take memory.
const MOST: usize = 1024;

/// Texts by the address of what they say. The object is kept too, so that nothing else can come to lie there; what is stored
/// never changes.
#[derive(Default)]
pub(super) struct Texts(HashMap<usize, (Arc<Value>, Bytes)>);

impl Texts {
    /// The object as text.
    pub fn of(&mut self, object: &Arc<Value>) -> Bytes {
        let address = Arc::as_ptr(object).addr();
        if let Some((_, text)) = self.0.get(&address) {
            return text.clone();
        }
        let text = text(object);
        // What nobody else has will not be asked for again.
        if Arc::strong_count(object) > 1 {
            if self.0.len() >= MOST {
                self.0.clear();
            }
            self.0.insert(address, (Arc::clone(object), text.clone()));
        }
        text
    }
}

/// A document as it goes out.
pub(super) fn text(value: &Value) -> Bytes {
    // A value has no key that is no string, which is all that could fail.
    serde_json::to_vec(value).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_object_has_its_own_text_also_where_another_lay_before() {
        let mut texts = Texts::default();
        for round in 0..2 * MOST {
            let object = Arc::new(json!({"metadata": {"name": format!("n{round}")}}));
            let other = Arc::clone(&object);
            for object in [object, other] {
                assert_eq!(texts.of(&object), Bytes::from(object.to_string()));
            }
            let lone = Arc::new(json!({"lone": round}));
            assert_eq!(texts.of(&lone), Bytes::from(lone.to_string()));
        }
        assert!(texts.0.len() <= MOST);
    }
}
