package node

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"

	"github.com/sluice-live/sluice/internal/obs"
)

// decodeHooks turn what flags, environment and YAML hold into Config's types.
func decodeHooks() mapstructure.DecodeHookFunc {
	return mapstructure.ComposeDecodeHookFunc(decodeDuration, decodeList, decodeICEServer, decodeKeys)
}

func decodeDuration(_, to reflect.Type, value any) (any, error) {
	if to != reflect.TypeFor[time.Duration]() {
		return value, nil
	}
	if _, done := value.(time.Duration); done {
		return value, nil
	}
	text, ok := value.(string)
	if !ok {
		return nil, fmt.Errorf("%v is not a duration: give it a unit, such as 30s", value)
	}
	return time.ParseDuration(text)
}

// decodeList splits a comma-separated string where a list is wanted.
func decodeList(_, to reflect.Type, value any) (any, error) {
	text, ok := value.(string)
	if !ok || to.Kind() != reflect.Slice {
		return value, nil
	}
	list := []any{}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list, nil
}

// decodeICEServer takes a bare URL for a server without credentials.
func decodeICEServer(_, to reflect.Type, value any) (any, error) {
	text, ok := value.(string)
	if !ok || to != reflect.TypeFor[ICEServer]() {
		return value, nil
	}
	return map[string]any{"urls": []string{text}}, nil
}

// decodeKeys reads "key: secret, key: secret".
func decodeKeys(_, to reflect.Type, value any) (any, error) {
	text, ok := value.(string)
	if !ok || to != reflect.TypeFor[map[string]obs.Secret]() {
		return value, nil
	}
	keys := map[string]any{}
	for pair := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		key, secret, ok := strings.Cut(pair, ":")
		if !ok {
			return nil, fmt.Errorf("write keys as \"key: secret, key: secret\"")
		}
		keys[strings.TrimSpace(key)] = strings.TrimSpace(secret)
	}
	return keys, nil
}
