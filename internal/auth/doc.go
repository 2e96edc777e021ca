// Package auth turns a bearer token into a grant.
//
// It owns the token format: HS256 JWTs with the claims that LiveKit's server
// SDKs write (iss, sub, exp, nbf, jti, name and the video grant), signed with
// one of several API keys that are valid at once, and that of stream keys, which
// a Keyring has looked up by their hash. It must not know HTTP, streams that
// exist, where keys are kept, or who asks from where; limits on guessing of one
// caller belong to others.
//
// An Authorizer is immutable; it and a Keyring are safe for concurrent use.
// Nothing runs in the background and nothing has to be closed.
package auth
