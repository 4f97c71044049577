//! Masks the secrets of a record before the record is written.

use std::borrow::Cow;

use super::record::Run;
use crate::secret;

impl Run {
    /// Masks the secrets in all that commands, templates and errors have put into the record. Fields that the engine
    /// needs to find its way are left as they are.
    pub fn mask_secrets(&mut self) {
        if !secret::is_any_known() {
            return;
        }
        secret::mask_value(&mut self.result);
        if let Some(Cow::Owned(masked)) = self.reason.as_deref().map(secret::mask) {
            self.reason = Some(masked);
        }
        if let Some(rendered) = &mut self.rendered {
            secret::mask_value(&mut rendered.payload);
            rendered.parameters.values_mut().for_each(secret::mask_value);
        }
        self.log.entries.iter_mut().for_each(|entry| secret::mask_value(&mut entry.info));
    }
}
