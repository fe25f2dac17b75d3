"""Small extension modules, compiled for the interpreter that runs the tests."""

import pathlib
import subprocess
import sysconfig

SILENT = """#include <Python.h>
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "%(name)s", .m_size = -1};
PyMODINIT_FUNC PyInit_%(name)s(void) { return PyModule_Create(&definition); }
"""
# Multi-phase, with the slot where the interpreter knows it.
DECLARED = """#include <Python.h>
static PyModuleDef_Slot slots[] = {
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "%(name)s", .m_slots = slots};
PyMODINIT_FUNC PyInit_%(name)s(void) { return PyModuleDef_Init(&definition); }
"""
# Single-phase, as pybind11 does it.
CALLS = """#include <Python.h>
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "%(name)s", .m_size = -1};
PyMODINIT_FUNC PyInit_%(name)s(void) {
    PyObject *module = PyModule_Create(&definition);
#ifdef Py_GIL_DISABLED
    PyUnstable_Module_SetGIL(module, Py_MOD_GIL_NOT_USED);
#endif
    return module;
}
"""
# Half a second of Python code while the module is being made, for which the interpreter turns the GIL on for a while.
SLOW = """#include <Python.h>
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "%(name)s", .m_size = -1};
PyMODINIT_FUNC PyInit_%(name)s(void) {
    PyRun_SimpleString("import time\\nend = time.time() + 0.5\\nwhile time.time() < end: pass");
    PyObject *module = PyModule_Create(&definition);
#ifdef Py_GIL_DISABLED
    PyUnstable_Module_SetGIL(module, Py_MOD_GIL_NOT_USED);
#endif
    return module;
}
"""
CRASHES = "void PyInit_%(name)s(void) { *(volatile int *)0 = 0; }"
LIBRARY = "int answer_of_%(name)s(void) { return 42; }"


def build(folder: pathlib.Path, name: str, source: str, suffix: str = ".so") -> pathlib.Path:
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / (name + suffix)
    command = ["gcc", "-x", "c", "-", "-shared", "-fPIC", "-I", sysconfig.get_path("include"), "-o", str(target)]
    subprocess.run(command, input=(source % {"name": name}).encode(), check=True)
    return target
