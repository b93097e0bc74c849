if(STRATA_SANITIZE)
    set(STRATA_TEST_SCALE 10 CACHE INTERNAL "percent of the work: a sanitized service is five to ten times slower")
else()
    set(STRATA_TEST_SCALE 100 CACHE INTERNAL "percent of the work")
endif()

# strata_python_test(test_grpc LABEL integration TIMEOUT 300 [SPLIT] [BESIDE]): a Python program of the folder, run by ctest
# against the real executable. SPLIT runs it a second time, as NAME_split and with the label `split` too, against core and
# gateway in two processes. BESIDE: others may run at the same time, since it mostly waits.
function(strata_python_test NAME)
    cmake_parse_arguments(TEST "SPLIT;BESIDE" "TIMEOUT;LABEL" "" ${ARGN})
    add_test(NAME ${TEST_LABEL}_${NAME} COMMAND ${CMAKE_SOURCE_DIR}/.venv/bin/python ${CMAKE_CURRENT_SOURCE_DIR}/${NAME}.py
             WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set(environment
        "STRATA_TEST_BINARY=$<TARGET_FILE:strata>"
        "STRATA_TEST_SCALE=${STRATA_TEST_SCALE}"
        "TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/support/tsan.supp:halt_on_error=1"
        "ASAN_OPTIONS=exitcode=99" # a report must not pass for a refusal, which is 1
        "LSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/support/lsan.supp"
        "UBSAN_OPTIONS=print_stacktrace=1")
    set(alone ON)
    if(TEST_BESIDE)
        set(alone OFF)
    endif()
    set_tests_properties(${TEST_LABEL}_${NAME} PROPERTIES LABELS ${TEST_LABEL} TIMEOUT ${TEST_TIMEOUT} RUN_SERIAL ${alone}
        ENVIRONMENT "${environment}")
    if(TEST_SPLIT)
        add_test(NAME ${TEST_LABEL}_${NAME}_split
                 COMMAND ${CMAKE_SOURCE_DIR}/.venv/bin/python ${CMAKE_CURRENT_SOURCE_DIR}/${NAME}.py
                 WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
        set_tests_properties(${TEST_LABEL}_${NAME}_split PROPERTIES LABELS "${TEST_LABEL};split" TIMEOUT ${TEST_TIMEOUT}
            RUN_SERIAL ${alone} ENVIRONMENT "${environment};STRATA_TEST_SPLIT=1")
    endif()
endfunction()
