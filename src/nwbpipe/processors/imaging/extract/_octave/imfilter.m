function filtered = imfilter (images, kernel, padding)
% Correlation of each image (h w ...) with a kernel; zero outside, or with 'replicate' as the nearest pixel.
% Octave's own refuses single images with values that it takes for no image.
    type = class (images);
    images = double (images);
    kernel = double (full (kernel));
    if nargin > 2 && ischar (padding) && strcmp (padding, 'replicate')
        before = floor ((size (kernel) - 1) / 2);
        after = ceil ((size (kernel) - 1) / 2);
        h = size (images, 1);
        w = size (images, 2);
        y = min (max ((1 - before(1)):(h + after(1)), 1), h);
        x = min (max ((1 - before(2)):(w + after(2)), 1), w);
        filtered = convn (images(y, x, :), rot90 (kernel, 2), 'valid');
    else
        filtered = convn (images, rot90 (kernel, 2), 'same');
    end
    if ! strcmp (type, 'logical')
        filtered = cast (filtered, type);
    end
end
