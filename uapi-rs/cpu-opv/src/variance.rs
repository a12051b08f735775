// SPDX-License-Identifier: MIT OR Apache-2.0

//! For the documentation tests alone: what goes in is what comes out.
//!
//! Each structure takes a value by a shared reference. If a structure of `&'static str` could be used as one of a
//! shorter lifetime, a borrow of a local would be taken out as one that never ends. Each program here is there twice:
//! with a value that lives long enough, to show that nothing else is wrong with it, and with one that does not.

macro_rules! keeps_lifetimes {
    ($($name:ident: $type:literal, $new:literal, $put:literal;)*) => {$(
        keeps_lifetimes!(@ $name, concat!(
            "use cpu_opv::*;\n",
            "fn put<'a>(all: &", $type, ", value: &'a str) {\n    ", $put, "\n}\n",
            "let all = ", $new, ";\n",
        ));
    )*};
    (@ $name:ident, $start:expr) => {
        /// ```
        #[doc = concat!($start, "put(&all, \"long\");\ndrop(all);")]
        /// ```
        /// ```compile_fail,E0597
        #[doc = concat!($start, "{\n    let local = String::from(\"short\");\n    put(&all, &local);\n}\ndrop(all);")]
        /// ```
        struct $name;
    };
}

keeps_lifetimes! {
    Stack: "Stack<Box<&'a str>, 4>", "Stack::<Box<&'static str>, 4>::new()", "let _ = all.push(Box::new(value));";
    StealStack: "StealStack<Box<&'a str>, 4>", "StealStack::<Box<&'static str>, 4>::new()",
        "let _ = all.push(Box::new(value));";
    List: "List<&'a str>", "List::<&'static str>::new()", "all.push(Box::new(Node::new(value)));";
    BoundedList: "BoundedList<&'a str>", "BoundedList::<&'static str>::new(4)",
        "let _ = all.push(Box::new(Node::new(value)));";
    Ring: "Ring<&'a str, 2, 2>", "Ring::<&'static str, 2, 2>::new()", "let _ = all.push(value);";
    Lock: "PerCpuLock<&'a str>", "PerCpuLock::<&'static str>::new(|_| \"\")", "*all.lock() = value;";
}
