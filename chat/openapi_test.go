package chat

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-live/sluice/internal/catalog"
)

// TestOpenAPI holds the document against the types that are encoded.
func TestOpenAPI(t *testing.T) {
	var doc struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]json.RawMessage
				Required   []string
			}
		}
	}
	if err := json.Unmarshal(OpenAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]any{
		"ChatSettings": roomSettings{}, "ChatRoom": roomState{}, "ChatBan": catalog.Ban{}, "ChatAction": catalog.Action{},
		"ChatUser": User{}, "ChatMessage": messageFrame{}, "ChatReplayed": replayedFrame{}, "ChatReplay": replay{}, "ChatRequest": request{},
	} {
		all, always := fields(reflect.TypeOf(v))
		schema := doc.Components.Schemas[name]
		if got := slices.Sorted(maps.Keys(schema.Properties)); !slices.Equal(got, all) {
			t.Errorf("%s: the document has %v, the type %v", name, got, all)
		}
		if name != "ChatRequest" && !slices.Equal(slices.Sorted(slices.Values(schema.Required)), always) {
			t.Errorf("%s: the document requires %v, the type always has %v", name, schema.Required, always)
		}
	}
	frame := doc.Components.Schemas["ChatFrame"]
	known := map[string]bool{}
	for _, v := range []any{
		messageFrame{}, welcomeFrame{}, historyFrame{}, deletedFrame{}, bannedFrame{}, slowFrame{}, viewersFrame{}, streamFrame{}, errorFrame{},
	} {
		all, _ := fields(reflect.TypeOf(v))
		for _, field := range all {
			known[field] = true
		}
	}
	if got, want := slices.Sorted(maps.Keys(frame.Properties)), slices.Sorted(maps.Keys(known)); !slices.Equal(got, want) {
		t.Errorf("ChatFrame: the document has %v, the frames %v", got, want)
	}
}

// fields lists the names that a type has in JSON, and those that are never left
// out.
func fields(t reflect.Type) (all, always []string) {
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || name == "-" {
			continue
		}
		all = append(all, name)
		if !strings.Contains(options, "omitempty") {
			always = append(always, name)
		}
	}
	slices.Sort(all)
	slices.Sort(always)
	return all, always
}
