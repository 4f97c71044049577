//! Conditions under which a serialised record leaves a field out.

/// Whether a field has its default value: zero, false or nothing.
#[must_use]
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
