//! Calls service functions with JSON.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;

use pumice_core::schema::read;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::failure::Error;
use crate::realm::Realm;

/// A response that is under way.
type Answer<'a> = Pin<Box<dyn Future<Output = Result<Value, Error>> + Send + 'a>>;

/// A function that borrows its request.
pub trait Borrows<'a, Q: 'a, A>:
    Fn(&'a dyn Realm, &'a Q) -> <Self as Borrows<'a, Q, A>>::Future + Send + Sync + 'static
{
    /// The future that it returns.
    type Future: Future<Output = Result<A, Error>> + Send + 'a;
}

impl<'a, Q: 'a, A, F, R> Borrows<'a, Q, A> for F
where
    F: Fn(&'a dyn Realm, &'a Q) -> R + Send + Sync + 'static,
    R: Future<Output = Result<A, Error>> + Send + 'a,
{
    type Future = R;
}

/// A function that takes its request.
pub trait Takes<'a, Q, A>:
    Fn(&'a dyn Realm, Q) -> <Self as Takes<'a, Q, A>>::Future + Send + Sync + 'static
{
    /// The future that it returns.
    type Future: Future<Output = Result<A, Error>> + Send + 'a;
}

impl<'a, Q, A, F, R> Takes<'a, Q, A> for F
where
    F: Fn(&'a dyn Realm, Q) -> R + Send + Sync + 'static,
    R: Future<Output = Result<A, Error>> + Send + 'a,
{
    type Future = R;
}

trait Call: Send + Sync {
    fn call<'a>(&'a self, realm: &'a dyn Realm, request: Value) -> Answer<'a>;
}

struct Borrowing<F, Q, A>(F, PhantomData<fn(Q) -> A>);

impl<F, Q, A> Call for Borrowing<F, Q, A>
where
    F: for<'a> Borrows<'a, Q, A>,
    Q: JsonSchema + DeserializeOwned + Send + Sync + 'static,
    A: Serialize + 'static,
{
    fn call<'a>(&'a self, realm: &'a dyn Realm, request: Value) -> Answer<'a> {
        Box::pin(async move {
            let request: Q = read(&request)?;
            written((self.0)(realm, &request).await?)
        })
    }
}

struct Taking<F, Q, A>(F, PhantomData<fn(Q) -> A>);

impl<F, Q, A> Call for Taking<F, Q, A>
where
    F: for<'a> Takes<'a, Q, A>,
    Q: JsonSchema + DeserializeOwned + Send + 'static,
    A: Serialize + 'static,
{
    fn call<'a>(&'a self, realm: &'a dyn Realm, request: Value) -> Answer<'a> {
        Box::pin(async move {
            let request: Q = read(&request)?;
            written((self.0)(realm, request).await?)
        })
    }
}

fn written(response: impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(response)
        .map_err(|error| Error::invalid(format!("the response is not JSON: {error}")))
}

/// A function behind its types.
#[derive(Clone, Copy)]
pub(crate) struct BoxedCall(&'static dyn Call);

impl BoxedCall {
    pub(crate) async fn call(&self, realm: &dyn Realm, request: Value) -> Result<Value, Error> {
        self.0.call(realm, request).await
    }
}

impl fmt::Debug for BoxedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxedCall")
    }
}

// A function takes no room, so that nothing is leaked.
pub(crate) fn borrowing<F, Q, A>(function: F) -> BoxedCall
where
    F: for<'a> Borrows<'a, Q, A>,
    Q: JsonSchema + DeserializeOwned + Send + Sync + 'static,
    A: Serialize + 'static,
{
    BoxedCall(Box::leak(Box::new(Borrowing(function, PhantomData))))
}

pub(crate) fn taking<F, Q, A>(function: F) -> BoxedCall
where
    F: for<'a> Takes<'a, Q, A>,
    Q: JsonSchema + DeserializeOwned + Send + 'static,
    A: Serialize + 'static,
{
    BoxedCall(Box::leak(Box::new(Taking(function, PhantomData))))
}
