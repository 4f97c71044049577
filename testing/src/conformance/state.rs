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

pub async fn item_is_read_as_it_was_put(on: &Adapters) {
    let raw = StateItem { r#type: StateType::Raw, publisher: None, ..item("b", json!("text")) };
    let items = [item("a", json!({ "rows": [1, 2.5, null, "ü"] })), raw];
    for item in &items {
        on.state.put(item.clone()).await.expect("it is put");
    }
    let ids = [items[1].state_id.clone(), StateId::new("none").expect("an id"), items[0].state_id.clone()];
    let found = on.state.get(&ids, at(1)).await.expect("the store answers");
    assert_eq!(found, [Some(items[1].clone()), None, Some(items[0].clone())]);
}

pub async fn item_is_put_over_another(on: &Adapters) {
    on.state.put(item("a", json!(1))).await.expect("it is put");
    let second = StateItem { expires: at(200).trunc_subsecs(0), publisher: None, ..item("a", json!(2)) };
    on.state.put(second.clone()).await.expect("it is put");
    let found =
        on.state.get(std::slice::from_ref(&second.state_id), at(150)).await.expect("the store answers");
    assert_eq!(found, [Some(second)]);
}

pub async fn expired_item_does_not_exist(on: &Adapters) {
    on.state.put(item("a", json!(1))).await.expect("it is put");
    let ids = [StateId::new("a").expect("an id")];
    assert!(on.state.get(&ids, at(99)).await.expect("the store answers")[0].is_some());
    assert!(on.state.get(&ids, at(100)).await.expect("the store answers")[0].is_none());
}

pub async fn item_is_changed_as_it_was_read_alone(on: &Adapters) {
    let Some(catalog) = on.catalog.as_deref() else { return };
    let first = item("a", json!({ "rows": 1.5 }));
    on.state.put(first.clone()).await.expect("it is put");
    let ids = std::slice::from_ref(&first.state_id);
    let read = async || on.state.get(ids, at(1)).await.expect("the store answers").remove(0);
    let change = async |before: &StateItem, after: Option<StateItem>| {
        catalog.change_state(before, after).await.expect("the store answers")
    };
    let before = read().await.expect("it is there");
    // Another value, another time and another name are all of another item.
    for other in [
        StateItem { value: json!({ "rows": 2.5 }), ..before.clone() },
        StateItem { timestamp: at(1), ..before.clone() },
        StateItem { publisher: None, ..before.clone() },
        StateItem { expires: at(200).trunc_subsecs(0), ..before.clone() },
    ] {
        assert!(!change(&other, Some(item("a", json!(0)))).await, "{other:?}");
        assert!(!change(&other, None).await, "{other:?}");
    }
    assert_eq!(read().await, Some(before.clone()));
    let second = StateItem { timestamp: at(2), ..item("a", json!("second")) };
    assert!(change(&before, Some(second.clone())).await);
    assert!(!change(&before, Some(item("a", json!("late")))).await && !change(&before, None).await);
    assert_eq!(read().await, Some(second.clone()));
    assert!(change(&second, None).await);
    assert!(!change(&second, Some(second.clone())).await, "one that is gone is not put anew");
    assert_eq!(read().await, None);
}
