//! What may be configured.

use super::*;

#[test]
fn durations_that_let_two_lead_are_refused() {
    let good = LeaseConfig::new("ops", "operator", "a");
    assert_eq!(good.validate(), Ok(()));
    let late = LeaseConfig { deadline: good.duration, ..good.clone() };
    assert!(matches!(late.validate(), Err(LeaseConfigError::DeadlineTooLate { .. })));
    let slow = LeaseConfig { renew: good.deadline, ..good.clone() };
    assert!(matches!(slow.validate(), Err(LeaseConfigError::RenewTooSlow { .. })));
    let busy = LeaseConfig { retry: Duration::ZERO, ..good };
    assert_eq!(busy.validate(), Err(LeaseConfigError::Zero));
}

#[test]
fn each_process_has_its_own_identity() {
    let (first, second) = (identity("operator-0").unwrap(), identity("operator-0").unwrap());
    assert!(first.starts_with("operator-0_") && first != second);
}
