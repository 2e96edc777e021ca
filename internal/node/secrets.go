package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/auth"
	"github.com/sluice-live/sluice/internal/obs"
	"github.com/sluice-live/sluice/signaling"
)

// keysFile holds the API key that was made at first start, in the form of
// auth.keys.
const keysFile = "auth-keys.yaml"

// agreeTime is how long Redis may take to say which key the others have.
const agreeTime = time.Second

// APIKeys returns the API keys that are valid: those of the configuration, else
// the one kept in the data directory. In token mode a missing one is that of the
// other nodes with the same Redis, or made, and so is one that webhooks want; in open
// mode there may else be none.
func APIKeys(c Config) (map[string]obs.Secret, error) {
	if len(c.Auth.Keys) > 0 {
		return c.Auth.Keys, nil
	}
	path := filepath.Join(c.Data.Dir, keysFile)
	keys, err := readKeys(path)
	if errors.Is(err, fs.ErrNotExist) {
		if c.Auth.Mode != AuthToken && len(c.Webhook.URLs) == 0 {
			return nil, nil
		}
		return makeKeys(path, string(c.Redis.URL))
	}
	return keys, err
}

// signer makes tokens with the first of the keys, as sluice token create does.
func signer(keys map[string]string) func(sluice.Grant, time.Duration) (string, error) {
	return func(g sluice.Grant, ttl time.Duration) (string, error) {
		if len(keys) == 0 {
			return "", sluice.Errorf(sluice.CodeUnprocessable, "this node has no API key to sign tokens with: its access is open")
		}
		first := slices.Sorted(maps.Keys(keys))[0]
		return auth.Mint(first, keys[first], g, ttl)
	}
}

// keyText is the key that others with the same Redis take when they have none: the
// first of the data directory, and "" when there is none or the configuration has
// them.
func (c Config) keyText() string {
	if len(c.Auth.Keys) > 0 || c.Auth.Mode != AuthToken {
		return ""
	}
	keys, err := readKeys(filepath.Join(c.Data.Dir, keysFile))
	if err != nil {
		return ""
	}
	first := slices.Sorted(maps.Keys(keys))[0]
	return first + " " + string(keys[first])
}

// agree returns the key that the nodes of a Redis have, which becomes mine when
// they have none.
func agree(redisURL, mine string) (string, error) {
	if redisURL == "" {
		return mine, nil
	}
	client, err := signaling.Connect(context.Background(), redisURL)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), agreeTime)
	defer cancel()
	theirs, err := signaling.ShareKey(ctx, client, mine)
	return theirs, errors.Join(err, client.Close())
}

func readKeys(path string) (map[string]obs.Secret, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read API keys: %w", err)
	}
	keys := map[string]obs.Secret{}
	if err := yaml.Unmarshal(text, &keys); err != nil {
		return nil, fmt.Errorf("read API keys: %s: %w", path, err)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("read API keys: %s holds none", path)
	}
	return keys, nil
}

// makeKeys writes a new key whole or not at all: of several processes that
// start at once, the first to link its file wins and the others read it.
func makeKeys(path, redisURL string) (map[string]obs.Secret, error) {
	key, secret := auth.GenerateKey()
	agreed, err := agree(redisURL, key+" "+secret)
	if err != nil {
		return nil, fmt.Errorf("make API keys: %w", err)
	}
	key, secret, _ = strings.Cut(agreed, " ")
	text, err := yaml.Marshal(map[string]string{key: secret})
	if err != nil {
		return nil, fmt.Errorf("make API keys: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make API keys: %w", err)
	}
	draft := path + "." + rand.Text()
	if err := os.WriteFile(draft, text, 0o600); err != nil {
		return nil, fmt.Errorf("make API keys: %w", err)
	}
	defer os.Remove(draft) // a leftover draft harms nobody
	if err := os.Link(draft, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make API keys: %w", err)
	}
	return readKeys(path)
}
