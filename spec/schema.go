package spec

import _ "embed"

//go:generate go test -run ^TestSchemaFile$ . -update

//go:embed schema.json
var schema []byte

// Schema is the JSON Schema (draft 2020-12) of wire.yaml. It says what a schema can say: keys, types and
// patterns; that names are unique or that the mesh names sessions, only Load does. schema.json is made from
// the types in file.go, their comments and the defaults of NewFile by schemagen_test.go, so that neither
// reflection nor the source of the comments is linked into the program.
func Schema() []byte { return schema }
