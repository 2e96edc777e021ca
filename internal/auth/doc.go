// Package auth turns a bearer token into a grant.
//
// It owns the token format: HS256 JWTs with the claims that LiveKit's server
// SDKs write (iss, sub, exp, nbf, jti, name and the video grant), signed with
// one of several API keys that are valid at once. It must not know HTTP, streams
// that exist, or who asks from where; limits on guessing belong to the caller.
//
// An Authorizer is immutable and safe for concurrent use; nothing runs in the
// background and nothing has to be closed.
package auth
