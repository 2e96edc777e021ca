package chat

import _ "embed"

//go:embed openapi.json
var openAPI string

// OpenAPI returns the chat's part of an OpenAPI document: paths and components.
// It needs the schema Problem and the security scheme bearer beside it.
func OpenAPI() []byte { return []byte(openAPI) }
