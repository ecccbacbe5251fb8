#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    stationwagon_fuzz::run("ber", input);
});
