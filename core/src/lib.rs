//! What a job, a request and a run are, and the rules they follow.
