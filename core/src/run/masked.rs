//! Masks the secrets of a record before the record is written.

use std::borrow::Cow;

use super::record::Run;
use crate::secret;

impl Run {
    /// Masks the secrets in all that commands, templates and errors have put into the record. Fields that the engine
    /// needs to find its way are left as they are: the plan of steps among them, which may have values under names that the realm
    /// marks. A plan with a secret is refused before, and attempts mask what they have rendered.
    pub fn mask_secrets(&mut self) {
        if !secret::is_any_known() {
            return;
        }
        secret::mask_value(&mut self.result);
        if let Some(Cow::Owned(masked)) = self.reason.as_deref().map(secret::mask) {
            self.reason = Some(masked);
        }
        self.log.entries.iter_mut().for_each(|entry| secret::mask_value(&mut entry.info));
    }

    /// Has the values masked from now on that were rendered under names which the realm marks.
    pub fn remember_marked(&self) {
        if let Some(rendered) = &self.rendered {
            rendered.remember_marked();
        }
    }
}
