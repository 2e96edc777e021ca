package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"

	lkauth "github.com/livekit/protocol/auth"
)

// bodyTime is how long the signature of a body is valid.
const bodyTime = 5 * time.Minute

// SignBody returns a token by which a receiver of webhooks knows that the body is
// ours: it holds the body's SHA-256 in the claim sha256, as LiveKit's server SDKs
// check it, and grants nothing.
func SignBody(apiKey, secret string, body []byte) (string, error) {
	sum := sha256.Sum256(body)
	token, err := lkauth.NewAccessToken(apiKey, secret).SetValidFor(bodyTime).
		SetSha256(base64.StdEncoding.EncodeToString(sum[:])).ToJWT()
	if err != nil {
		return "", fmt.Errorf("auth: sign a body: %w", err)
	}
	return token, nil
}
