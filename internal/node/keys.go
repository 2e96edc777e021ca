package node

import (
	"reflect"
	"strings"
)

// EnvPrefix begins the name of every environment variable that Load reads.
const EnvPrefix = "SLUICE_"

// Key describes one setting.
type Key struct {
	Name    string // YAML path and flag name: "http.addr"
	Env     string // "SLUICE_HTTP_ADDR"
	Default string // "" when there is none
	Help    string
	Bool    bool   // takes true or false
	Alias   string // another name of the flag; "": none
}

// Keys lists every setting in the order of Config's fields.
func Keys() []Key { return keysOf(reflect.TypeFor[Config](), "") }

func keysOf(t reflect.Type, prefix string) []Key {
	var keys []Key
	for field := range t.Fields() {
		name := prefix + field.Tag.Get("koanf")
		help, leaf := field.Tag.Lookup("help")
		if !leaf {
			keys = append(keys, keysOf(field.Type, name+".")...)
			continue
		}
		keys = append(keys, Key{
			Name:    name,
			Env:     EnvPrefix + strings.ToUpper(strings.ReplaceAll(name, ".", "_")),
			Default: field.Tag.Get("default"),
			Help:    help,
			Bool:    field.Type.Kind() == reflect.Bool,
			Alias:   field.Tag.Get("alias"),
		})
	}
	return keys
}

// nearest returns the candidate with the smallest edit distance to name.
func nearest(name string, candidates []string) string {
	best, least := "", -1
	for _, c := range candidates {
		if d := distance(name, c); least < 0 || d < least {
			best, least = c, d
		}
	}
	return best
}

// distance is the Levenshtein distance of a and b in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			above := row[j+1]
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(above+1, row[j]+1, diagonal+cost)
			diagonal = above
		}
	}
	return row[len(b)]
}
