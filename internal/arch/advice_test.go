package arch

import (
	"go/ast"
	"go/token"
	"strconv"
	"testing"
)

// makers make what drift, status and doctor report; at is which argument says what the user can do about it.
var makers = map[string]map[string]struct{ code, at int }{
	"reconcile":       {"block": {1, 3}, "note": {1, 3}, "blockEdge": {2, 4}, "add": {1, 3}},
	"internal/health": {"one": {1, 2}, "finding": {1, 2}, "add": {-1, 1}},
}

// literals are the types that they are made of, with their fields for a code and for the advice.
var literals = map[string][2]string{"Report": {"Reason", "Advice"}, "Check": {"ID", "Fix"}}

// TestEveryReportAdvises walks through all that is reported, code by code: each says what to do next, if only that
// nothing has to be done. The laws of reconcile check the same of what generated machines report.
func TestEveryReportAdvises(t *testing.T) {
	codes := map[string]map[string]int{}
	eachFile(t, func(room, _ string, file *ast.File, fset *token.FileSet) {
		note := func(code ast.Expr) {
			text, ok := code.(*ast.BasicLit)
			if !ok {
				return // a parameter: its callers are looked at
			}
			if codes[room] == nil {
				codes[room] = map[string]int{}
			}
			codes[room][text.Value]++
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				m, ok := makers[room][called(n)]
				if !ok || len(n.Args) <= m.at {
					return true
				}
				if m.code >= 0 {
					note(n.Args[m.code])
				}
				if silent(n.Args[m.at]) {
					t.Errorf("%s: nobody is told what to do about it", fset.Position(n.Pos()))
				}
			case *ast.CompositeLit:
				fields, ok := literals[typeName(n.Type)]
				if !ok || len(n.Elts) == 0 {
					return true
				}
				found := map[string]ast.Expr{}
				for _, e := range n.Elts {
					if kv, ok := e.(*ast.KeyValueExpr); ok {
						found[kv.Key.(*ast.Ident).Name] = kv.Value
					}
				}
				if verdict, ok := found["Verdict"].(*ast.Ident); ok && verdict.Name == "Pass" {
					return true
				}
				if advice := found[fields[1]]; found[fields[0]] != nil && (advice == nil || silent(advice)) {
					t.Errorf("%s: nobody is told what to do about it", fset.Position(n.Pos()))
				}
			}
			return true
		})
	})
	// What this test would not find is a change of names: these are there for sure.
	for room, some := range map[string][]string{
		"reconcile":       {"home-broken", "home-twin", "daemon-unknown", "edge-conflict", "outbox-stray", "relay-neighbours", "port-taken", "debris"},
		"internal/health": nil,
	} {
		for _, code := range some {
			if codes[room][strconv.Quote(code)] == 0 {
				t.Errorf("%s: no report is called %s", room, code)
			}
		}
	}
}

func called(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// silent says whether an expression is the empty text.
func silent(e ast.Expr) bool {
	lit, ok := e.(*ast.BasicLit)
	return ok && lit.Value == `""`
}
