//! The canary filter: decides who is in a canary, tags the request and protects the tag.
