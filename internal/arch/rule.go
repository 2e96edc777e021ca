package arch

import (
	"fmt"
	"slices"
	"strings"
)

// Module is the import path of the repository's root package.
const Module = "github.com/sluice-live/sluice"

// floors of the building; arrows go down only.
const (
	ground   = 0 // the root package: domain types, standard library only
	leaf     = 1 // internal packages and the embedded pages
	feature  = 2 // siblings that never import each other
	assembly = 3 // internal/node; internal/client and internal/load for programs and tests
	program  = 4 // commands and tests of whole nodes
)

// Check returns why the package from must not import to, or nil. Both are
// import paths; from is of this module. test says that only tests of from
// import it: those may use any library, and packages of their own floor to
// test against, but not a sibling feature.
func Check(from, to string, test bool) error {
	from, _ = inModule(from)
	if inner, ok := inModule(to); ok {
		return checkFloors(from, inner, test)
	}
	if test {
		return nil
	}
	return checkLibrary(from, to)
}

func checkFloors(from, to string, test bool) error {
	above, below := floor(from), floor(to)
	switch {
	case from == to || above > below || tree(from) == tree(to):
		return nil
	case above == feature && below == feature:
		return fmt.Errorf("%s imports its sibling %s: features share only the root package and leaves; glue them in internal/node", from, to)
	case above == assembly && below == assembly && test:
		return nil
	case above == leaf && below == leaf && (test || slices.Contains(sharedLeaves(), to)):
		return nil
	case above == below:
		return fmt.Errorf("%s imports %s of its own floor %d: move what both need below them", name(from), name(to), above)
	default:
		return fmt.Errorf("%s (floor %d) imports %s (floor %d): arrows go down only", name(from), above, name(to), below)
	}
}

func checkLibrary(from, library string) error {
	if floor(from) == ground && strings.Contains(strings.Split(library, "/")[0], ".") {
		return fmt.Errorf("the root package imports %s: it uses only the standard library", library)
	}
	for _, l := range owned() {
		if !within(library, l.prefix) {
			continue
		}
		if !slices.ContainsFunc(l.owners, func(owner string) bool { return within(from, owner) }) {
			return fmt.Errorf("%s imports %s, which belongs to %s", from, library, strings.Join(l.owners, ", "))
		}
	}
	return nil
}

type ownership struct {
	prefix string
	owners []string
}

// owned lists the libraries that only some packages may import.
func owned() []ownership {
	return []ownership{
		{"github.com/pion/webrtc", []string{"sfu", "internal/client", "e2e"}},
		{"github.com/pion/interceptor", []string{"sfu", "internal/client", "e2e"}},
		{"github.com/pion/rtp", []string{"sfu", "recorder", "internal/client", "internal/load", "e2e"}},
		{"github.com/pion/turn", nil}, // a relay would lead inside
		{"github.com/pion/dtls", []string{"sfu", "internal/load", "internal/appdata"}},
		{"github.com/pion/srtp", []string{"sfu", "internal/load"}},
		{"github.com/redis/go-redis", []string{"signaling", "internal/node"}},
		{"github.com/alicebob/miniredis", []string{"signaling", "internal/node"}},
		{"github.com/livekit/protocol", []string{"signaling", "internal/auth"}},
		{"github.com/golang-jwt/jwt", []string{"internal/auth"}},
		{"github.com/gin-gonic/gin", []string{"internal/node", "signaling", "whip", "whep", "hlsfallback", "chat"}},
		{"github.com/danielgtaylor/huma", []string{"signaling"}},
		{"github.com/prometheus/client_golang", []string{"internal/obs"}},
		{"github.com/knadh/koanf", []string{"internal/node"}},
		{"github.com/alecthomas/kong", []string{"cmd"}},
		{"github.com/evanw/esbuild", []string{"web"}},
		{"github.com/Eyevinn/mp4ff", []string{"recorder", "internal/client"}},
		{"github.com/bluenviron/mediacommon", []string{"recorder", "sfu", "internal/client"}},
		{"database/sql", []string{"internal/catalog"}},
		{"github.com/zeebo/xxh3", []string{"internal/placement"}},
		{"modernc.org/sqlite", []string{"internal/catalog"}},
		{"github.com/jackc/pgx", []string{"internal/catalog"}},
		{"github.com/uptrace/bun", []string{"internal/catalog"}},
		{"github.com/pressly/goose", []string{"internal/catalog"}},
		{"github.com/pion/datachannel", []string{"sfu", "internal/load"}},
		{"github.com/pion/sctp", []string{"sfu", "internal/load"}},
		{"github.com/coder/websocket", []string{"chat", "internal/load"}},
		{"github.com/minio/minio-go", []string{"internal/blob"}},
	}
}

// sharedLeaves may be imported by other leaves: errors on the wire and the
// ways to observe.
func sharedLeaves() []string { return []string{"internal/problem", "internal/obs"} }

func features() []string {
	return []string{"sfu", "signaling", "whip", "whep", "recorder", "hlsfallback", "chat"}
}

func floor(pkg string) int {
	switch top := tree(pkg); {
	case pkg == "":
		return ground
	case slices.Contains(features(), top):
		return feature
	case top == "internal/node", top == "internal/client", top == "internal/load":
		return assembly
	case top == "cmd", top == "e2e":
		return program
	default:
		return leaf
	}
}

// tree is the folder that a package belongs to: its first path element, or the
// first two below internal.
func tree(pkg string) string {
	parts := strings.Split(pkg, "/")
	if parts[0] == "internal" && len(parts) > 1 {
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}

func inModule(path string) (string, bool) {
	if path == Module {
		return "", true
	}
	return strings.CutPrefix(path, Module+"/")
}

func within(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

func name(pkg string) string {
	if pkg == "" {
		return "the root package"
	}
	return pkg
}
