package obs

import (
	"fmt"
	"log/slog"
	"net/url"
	"strings"
)

const masked = "***"

// Secret is a string that shows only whether it is empty, however it is printed,
// logged or encoded. Convert it to string where the value itself is needed.
type Secret string

// String implements fmt.Stringer.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return masked
}

// Format implements fmt.Formatter, for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements encoding.TextMarshaler, which JSON and YAML use.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// RedactQuery returns a raw URL query with the values of parameters that name a
// secret masked. Anything that cannot be read is masked as a whole.
func RedactQuery(raw string) string {
	if raw == "" {
		return ""
	}
	parts := strings.Split(raw, "&")
	for i, part := range parts {
		name, _, _ := strings.Cut(part, "=")
		plain, err := url.QueryUnescape(name)
		switch {
		case err != nil:
			parts[i] = masked
		case namesSecret(plain):
			parts[i] = name + "=" + masked
		}
	}
	return strings.Join(parts, "&")
}
