//! State items.
#![expect(missing_docs, reason = "a case's name says what it is about")]

use chrono::SubsecRound;
use pumice_core::ids::StateId;
use pumice_core::ports::{StateItem, StateType};
use serde_json::{Value, json};

use super::{Adapters, at};

fn item(id: &str, value: Value) -> StateItem {
    StateItem {
        state_id: StateId::new(id).expect("an id"),
        r#type: StateType::Json,
        value,
        publisher: Some("etl/load".to_owned()),
        timestamp: at(0),
        // lava's items live for whole seconds.
        expires: at(100).trunc_subsecs(0),
    }
}

pub async fn an_item_is_read_as_it_was_put(on: &Adapters) {
    let raw = StateItem { r#type: StateType::Raw, publisher: None, ..item("b", json!("text")) };
    let items = [item("a", json!({ "rows": [1, 2.5, null, "ü"] })), raw];
    for item in &items {
        on.state.put(item.clone()).await.expect("it is put");
    }
    let ids = [items[1].state_id.clone(), StateId::new("none").expect("an id"), items[0].state_id.clone()];
    let found = on.state.get(&ids, at(1)).await.expect("the store answers");
    assert_eq!(found, [Some(items[1].clone()), None, Some(items[0].clone())]);
}

pub async fn an_item_is_put_over_another(on: &Adapters) {
    on.state.put(item("a", json!(1))).await.expect("it is put");
    let second = StateItem { expires: at(200).trunc_subsecs(0), publisher: None, ..item("a", json!(2)) };
    on.state.put(second.clone()).await.expect("it is put");
    let found =
        on.state.get(std::slice::from_ref(&second.state_id), at(150)).await.expect("the store answers");
    assert_eq!(found, [Some(second)]);
}

pub async fn an_expired_item_does_not_exist(on: &Adapters) {
    on.state.put(item("a", json!(1))).await.expect("it is put");
    let ids = [StateId::new("a").expect("an id")];
    assert!(on.state.get(&ids, at(99)).await.expect("the store answers")[0].is_some());
    assert!(on.state.get(&ids, at(100)).await.expect("the store answers")[0].is_none());
}
