//! What each kind of expectation takes for true, and what it says when it is not.
