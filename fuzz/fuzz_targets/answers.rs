//! See `answers` in `src/`.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use rancher_access_fuzz::{answers, mutate};

fuzz_target!(|data: &[u8]| answers::check(data));

// Half of the changes are libFuzzer's own, and half know JSON.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    if seed.is_multiple_of(2) {
        fuzzer_mutate(data, size, max_size)
    } else {
        mutate::in_place(data, size, max_size, seed)
    }
});
