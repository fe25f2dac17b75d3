package gitops

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"
	luajson "layeh.com/gopher-json"
)

const customization = "../../examples/argocd"

// read reads one of the Lua files.
func read(t *testing.T, name ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(customization, filepath.Join(name...)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// run gives what a script returns for an object, as JSON. It has what Argo CD gives it: the base and table libraries, of os the time and the
// date and only by `require`, no string library; and a bound on its time.
func run(t *testing.T, script string, object map[string]any) []byte {
	t.Helper()
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	state.SetContext(ctx)
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{{lua.LoadLibName, lua.OpenPackage}, {lua.BaseLibName, lua.OpenBase}, {lua.TabLibName, lua.OpenTable}} {
		if err := state.CallByParam(lua.P{Fn: state.NewFunction(library.open), Protect: true}, lua.LString(library.name)); err != nil {
			t.Fatal(err)
		}
	}
	state.PreloadModule(lua.OsLibName, func(state *lua.LState) int {
		lua.OpenOs(state)
		whole, safe := state.CheckTable(-1), state.NewTable()
		for _, name := range []string{"time", "date"} {
			safe.RawSetString(name, whole.RawGetString(name))
		}
		state.SetGlobal(lua.OsLibName, lua.LNil)
		state.Push(safe)
		return 1
	})
	state.SetGlobal("obj", decode(state, object))
	if err := state.DoString(script); err != nil {
		t.Fatal(err)
	}
	result, err := luajson.Encode(state.Get(-1))
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// decode is luajson.DecodeValue, which knows no int64.
func decode(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case map[string]any:
		table := state.CreateTable(0, len(value))
		for key, field := range value {
			table.RawSetString(key, decode(state, field))
		}
		return table
	case []any:
		table := state.CreateTable(len(value), 0)
		for _, item := range value {
			table.Append(decode(state, item))
		}
		return table
	case int64:
		return lua.LNumber(value)
	}
	return luajson.DecodeValue(state, value)
}
