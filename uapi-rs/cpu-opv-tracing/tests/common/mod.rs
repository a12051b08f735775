// SPDX-License-Identifier: MIT OR Apache-2.0

//! What selects the backend of CPU_OPV_BACKEND.
#![allow(dead_code, reason = "the tests of cpu-opv use all of it")]

mod machine;
