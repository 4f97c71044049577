//! A short form of the torture test; the long one is `pumice-testing torture`.

use pumice_testing::torture::{Torture, pumice_beside};

#[test]
fn serve_killed_again_and_again_finishes_everything_once() {
    let pumice = pumice_beside().expect("the command");
    let survived = Torture { kills: 20, jobs: 400, seed: 1 }.run(&pumice).expect("carried out");
    assert_eq!(survived.wrong, Vec::<String>::new(), "{survived:?}");
    assert!(survived.runs > 400 && survived.commands > 100 && survived.crashes > 0, "{survived:?}");
}
