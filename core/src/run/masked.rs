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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::Timestamp;
    use crate::duration::Span;
    use crate::ids::{JobId, RunId, RunKey, WorkerName};
    use crate::job_type::Rendered;
    use crate::run::Run;

    #[test]
    fn plan_keeps_marked_values_and_the_rest_is_masked() {
        crate::secret::mark_names(&["*planned_token".to_owned()]);
        let run_id = RunId(uuid::Uuid::nil());
        let about = (JobId::new("a").unwrap(), "foreach".to_owned(), WorkerName::new("core").unwrap());
        let at = Timestamp::UNIX_EPOCH;
        let mut run = Run::dispatched(RunKey::root(run_id), run_id, about, at, at, Span::from_days(1));
        let parameters = json!({ "foreach": { "values": [{ "planned_token": "of-the-plan-77" }] } });
        let rendered = Rendered {
            payload: json!("one of-the-plan-77"),
            parameters: parameters.as_object().unwrap().clone(),
        };
        (run.rendered, run.result) = (Some(rendered.clone()), json!({ "out": "got of-the-plan-77" }));
        run.reason = Some("for of-the-plan-77".to_owned());
        run.remember_marked();
        run.mask_secrets();
        // The steps are made of it in another invocation.
        assert_eq!(run.rendered.as_ref(), Some(&rendered));
        assert_eq!((run.reason.as_deref(), &run.result["out"]), (Some("for *****"), &json!("got *****")));
        // What an attempt has rendered is only shown.
        let wanted = json!({ "foreach": { "values": [{ "planned_token": "*****" }] } });
        let masked = rendered.masked();
        assert_eq!((masked.payload, &masked.parameters), (json!("one *****"), wanted.as_object().unwrap()));
    }
}
