/* An extension of the kind that is still around: it does not declare Py_mod_gil, so that a free-threaded interpreter turns
   the GIL back on when it loads it, with a warning that names it. */
#include <Python.h>

static PyObject *ping(PyObject *self, PyObject *arguments) {
    (void)self;
    (void)arguments;
    return PyUnicode_FromString("pong");
}

static PyMethodDef methods[] = {{"ping", ping, METH_NOARGS, "Answer."}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "legacyext", .m_doc = "Old.", .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC PyInit_legacyext(void) { return PyModule_Create(&definition); }
