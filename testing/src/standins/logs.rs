//! The logs of functions in ministack.

use serde_json::{Value, json};

use super::cloud::Cloud;
use super::server::REGION;

impl Cloud {
    /// The functions' log, one line each.
    #[must_use]
    pub fn logs(&self) -> String {
        let groups = self.logs_call("DescribeLogGroups", &json!({}));
        let mut lines = String::new();
        for group in groups["logGroups"].as_array().into_iter().flatten() {
            let name = group["logGroupName"].as_str().unwrap_or_default();
            let events = self.logs_call("FilterLogEvents", &json!({ "logGroupName": name }));
            for event in events["events"].as_array().into_iter().flatten() {
                lines.push_str(event["message"].as_str().unwrap_or_default().trim_end());
                lines.push('\n');
            }
        }
        lines
    }

    fn logs_call(&self, action: &str, body: &Value) -> Value {
        let answer = ureq::post(self.server.url())
            .header(
                "authorization",
                format!("AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/logs/aws4_request"),
            )
            .header("x-amz-target", format!("Logs_20140328.{action}"))
            .header("content-type", "application/x-amz-json-1.1")
            .send(body.to_string());
        let text = answer.ok().and_then(|mut answer| answer.body_mut().read_to_string().ok());
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }
}
