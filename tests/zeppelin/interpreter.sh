#!/bin/sh
# Zeppelin calls this for each interpreter process, as it would call its own bin/interpreter.sh.
while getopts "d:c:p:r:i:u:l:g:" option; do
    case "$option" in
        d) folder=$OPTARG ;;
        c) host=$OPTARG ;;
        p) port=$OPTARG ;;
        r) ports=$OPTARG ;;
        i) group=$OPTARG ;;
        g) setting=$OPTARG ;;
        *) ;;
    esac
done
main=org.apache.zeppelin.interpreter.remote.RemoteInterpreterServer
jars="$folder/patch:$folder/*:$(echo "$ZEPPELIN_HOME"/interpreter/zeppelin-interpreter-shaded-*.jar)"
log=$ZEPPELIN_LOG_DIR/interpreter-$setting.log

# In place of the shell, so that Zeppelin ends Java itself.
case "$folder" in
    */spark)
        jar=$(echo "$folder"/spark-interpreter-*.jar)
        python=$SPARK_HOME/python/lib
        PYTHONPATH="$python/pyspark.zip:$(echo "$python"/py4j-*.zip):$PYTHONPATH"
        export PYTHONPATH
        set -f
        IFS="|" # between the options that Zeppelin makes of the properties
        # shellcheck disable=SC2086
        exec "$SPARK_HOME/bin/spark-submit" \
            --class $main \
            --driver-class-path "$jars:$SPARK_CLASSES" \
            --driver-java-options "-Dfile.encoding=UTF-8 -Djava.io.tmpdir=$TMPDIR" \
            $ZEPPELIN_SPARK_CONF \
            "$jar" "$host" "$port" "$group" "$ports" >>"$log" 2>&1
        ;;
    *)
        # shellcheck disable=SC2086
        exec "$JAVA_HOME/bin/java" $INTERPRETER_JAVA_OPTS \
            -Dfile.encoding=UTF-8 \
            -Djava.io.tmpdir="$TMPDIR" \
            -Dlog4j.configuration="file://$(dirname "$0")/log4j.properties" \
            -Dzeppelin.log.file="$log" \
            -cp "$jars" \
            $main "$host" "$port" "$group" "$ports"
        ;;
esac
