# Read by CMake right after llama.cpp's own project() call (CMAKE_PROJECT_llama.cpp_INCLUDE), inside llama.cpp's scope.
#
# The Python package forces llama.cpp's `common` library on although nothing that it ships is linked against it; half of
# the build time goes there. A plain variable of this scope wins over a cache entry of the same name.
set(LLAMA_BUILD_COMMON OFF)

# ACCEL=cpu on a Mac: the package forces Metal on as well.
if(LLAMAD_WITHOUT_METAL)
    set(GGML_METAL OFF)
endif()
