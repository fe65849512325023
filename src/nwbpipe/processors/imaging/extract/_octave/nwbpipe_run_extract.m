function nwbpipe_run_extract (folder)
% Run EXTRACT on the movie that nwbpipe left in `folder` and leave its result there. For MATLAB and GNU Octave.
%
% request.json  size of the movie [h w frames], config: EXTRACT's parameters
% movie.raw     float32, h fastest
% -> spatial.raw (h w cells), temporal.raw (frames cells), summary/max/baseline.raw (h w): float32; result.json
    request = jsondecode (fileread (fullfile (folder, 'request.json')));
    dims = double (request.size(:)');
    file = fopen (fullfile (folder, 'movie.raw'), 'r');
    movie = fread (file, prod (dims), 'single=>single');
    fclose (file);
    movie = reshape (movie, dims);
    config = numbers (request.config);
    output = extractor (movie, config);
    spatial = single (full (output.spatial_weights));
    temporal = single (full (output.temporal_weights));
    cells = size (temporal, 2);
    if isempty (spatial) || isempty (temporal)
        cells = 0;
    end
    put (folder, 'spatial.raw', spatial);
    put (folder, 'temporal.raw', temporal);
    put (folder, 'summary.raw', single (output.info.summary_image));
    put (folder, 'max.raw', single (output.info.max_image));
    put (folder, 'baseline.raw', single (output.info.F_per_pixel));
    result = struct ('cells', cells, 'frames', size (temporal, 1), 'version', output.info.version, ...
                     'seconds', double (output.info.runtime));
    file = fopen (fullfile (folder, 'result.json'), 'w');
    fwrite (file, jsonencode (result));
    fclose (file);
end

function put (folder, name, values)
    file = fopen (fullfile (folder, name), 'w');
    fwrite (file, values, 'single');
    fclose (file);
end

function config = numbers (config)
% JSON has no infinity, and no difference between a list and a column.
    names = fieldnames (config);
    for k = 1:numel (names)
        value = config.(names{k});
        if isstruct (value)
            value = numbers (value);
        elseif ischar (value) && strcmp (value, 'inf')
            value = inf;
        elseif isnumeric (value) && iscolumn (value)
            value = value';
        end
        config.(names{k}) = value;
    end
end
